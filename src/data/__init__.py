"""Text in: the hub, official folders, the user's files, generated tasks; splits of rows."""
