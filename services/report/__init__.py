"""Makes one page of a completed job and stores it; puts no word of anybody's into it unescaped."""
