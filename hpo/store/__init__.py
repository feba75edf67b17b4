"""The database: engine, tables, migrations, studies, the slot ledger, and the Optuna storage."""
