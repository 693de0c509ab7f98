"""Writing datasets: pictures or tars to records, once."""
