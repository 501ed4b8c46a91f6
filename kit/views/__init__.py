"""What a person sees: cards, panel, tables and figures, all read from the journal."""
