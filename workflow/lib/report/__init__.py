"""What people look at: the page, its charts, pictures and sentences."""
