"""What others build on, as documents of their own tools: AsyncAPI, JSON Schema, OpenAPI.

Generated from the code that reads and writes the same facts; ``docs/contracts/`` holds the result.
"""
