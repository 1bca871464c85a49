"""Putting a predictor to work: rows of tables in, the same rows with answers out.

`course.predict` is the job. Tables are read in blocks of rows (`blocks`), by a source for each format; `answering` has the
`scorer` answer their texts, each distinct one once, and keeps the answers in a `journal` until a writer has put them beside
their rows in the output.
"""
