"""The ground floor: nouns, Action Unit and emotion tables, errors, the run record, paths."""
