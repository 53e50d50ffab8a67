"""The central: projects flows into its own store and answers questions about them."""
