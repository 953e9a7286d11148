"""What is compared, and how: studies, scores, their record in MLflow, and the table that comes of them."""
