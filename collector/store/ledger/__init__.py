"""What has happened: requests and their budget, due moments, jobs, replicas, how Radar fares, kept bodies."""
