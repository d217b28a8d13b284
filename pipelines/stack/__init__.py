"""The cellar: local Kafka, MLflow, Airflow, and the processes of `lakepulse up`."""
