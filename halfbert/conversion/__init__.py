"""Predictors of other makers, as halfbert's own: `course` tells the story, `pickles` reads what must not be unpickled."""
