"""Many slices in few requests: choose a size, pack, send, save, and learn from what failed."""
