"""The churn project of the CDNOW shop."""
