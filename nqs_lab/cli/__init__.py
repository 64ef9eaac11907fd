"""The command nqs-lab: doctor, demo, train, lab, notebooks, cite."""

from .main import main as main
