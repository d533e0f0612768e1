"""The report on a sweep of the user: verdicts as a document, written as Markdown and as one HTML page."""
