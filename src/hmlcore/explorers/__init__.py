"""Explorers: pictures of a memory that answer to the hand, in a notebook and in a page without a kernel."""
