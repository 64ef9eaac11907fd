"""The command nqs-lab: doctor, demo, train, train-lm, lab, notebooks, cite."""

from .main import main as main
