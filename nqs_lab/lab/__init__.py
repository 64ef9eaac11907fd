"""What the reader touches. The widgets are in nqs_lab.lab.j2_dashboard, apart, because they need ipywidgets."""

from nqs_lab.lab import cartoons as cartoons, plots as plots
from nqs_lab.lab.checks import check as check, grade as grade
from nqs_lab.lab.notebook import (
    budget as budget,
    figure as figure,
    is_fast as is_fast,
    panels as panels,
    seeds as seeds,
    setup as setup,
    style as style,
)
from nqs_lab.lab.results import load_j2_scan as load_j2_scan
