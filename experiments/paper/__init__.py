"""The paper: evidence from the committed records, claims, tables, figures and the pages that hold them."""
