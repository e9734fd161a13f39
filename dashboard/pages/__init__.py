"""The pages: one file each, with `layout(...)` and `connect(app, store)` for its callbacks."""
