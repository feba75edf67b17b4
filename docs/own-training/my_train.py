import warnings

from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

x, y = load_breast_cancer(return_X_y=True)
x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.3, random_state=0)
scaler = StandardScaler().fit(x_train)
x_train, x_val = scaler.transform(x_train), scaler.transform(x_val)


def train(params, run):
    network = MLPClassifier(
        hidden_layer_sizes=[params["width"]],
        learning_rate_init=params["lr"],
        alpha=params["weight_decay"],
        random_state=run.seed,
    )
    for epoch in range(1, params["epochs"] + 1):
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            network.partial_fit(x_train, y_train, classes=[0, 1])
        val_accuracy = network.score(x_val, y_val)
        run.report(epoch, val_accuracy=val_accuracy, train_loss=network.loss_)
    return val_accuracy
