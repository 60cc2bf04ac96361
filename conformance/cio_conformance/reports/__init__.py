"""Reports of a run: JUnit, JSON, HTML, Markdown, and the terminal."""
