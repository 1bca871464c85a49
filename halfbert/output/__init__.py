"""What a run writes: records, text, tables, pictures."""
