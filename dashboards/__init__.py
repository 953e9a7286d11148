"""What a person looks at: reports built from MLflow runs and their artifacts, and from nothing else."""
