"""From a table to checked, split rows."""
