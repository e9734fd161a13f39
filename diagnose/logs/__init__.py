"""Event logs in and out: finding runs, reading any writer's files, writing our own."""
