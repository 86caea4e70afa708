"""Documents -> passages -> evidence."""
