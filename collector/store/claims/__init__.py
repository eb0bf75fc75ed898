"""Work that one process at a time does: profiles, gaps, retention, and the windows of a backfill."""
