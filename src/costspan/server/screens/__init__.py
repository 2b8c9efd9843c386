"""The screens: each file has the question to the history, a pure function that makes plain data of the answer, and the route."""
