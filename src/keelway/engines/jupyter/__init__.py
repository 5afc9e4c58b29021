"""The Jupyter engine: notebooks as files, executed in a process of their own, and looked over without executing them."""

from keelway.engines.jupyter.document import (
    code_cells,
    notebook_bytes,
    parameter_defaults,
    parameter_value,
    read_notebook,
    stripped,
    with_parameters,
    write_notebook,
)
from keelway.engines.jupyter.kernel import CellFailure, CellProgress, Execution, execute
from keelway.engines.jupyter.lint import NotebookFinding, look_over

__all__ = [
    "CellFailure",
    "CellProgress",
    "Execution",
    "NotebookFinding",
    "code_cells",
    "execute",
    "look_over",
    "notebook_bytes",
    "parameter_defaults",
    "parameter_value",
    "read_notebook",
    "stripped",
    "with_parameters",
    "write_notebook",
]
