"""The client of Radar: send one request, check the answer, and say which error it is if there is none."""
