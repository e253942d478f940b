"""The way in and out for people and programs without a broker; the pipeline runs without it."""
