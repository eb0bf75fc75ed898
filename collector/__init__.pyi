from collector.library import History as History
from collector.library import open as open  # noqa: A004 - read as `collector.open`
from collector.table import Table as Table

__version__: str
