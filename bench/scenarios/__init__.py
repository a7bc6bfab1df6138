"""What is measured: functions that take a `Plan` and give figures. Load and servers are made by the modules above."""
