"""The database: engines, transactions, the schema and its migrations, the file of a SQLite store."""
