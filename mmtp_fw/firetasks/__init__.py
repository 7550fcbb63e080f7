"""Thin Firetasks: claim, call one science function, write the fact once, advance the campaign."""
