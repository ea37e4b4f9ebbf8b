"""The worker's own word: which calls it holds, how many more it takes, and what they tell it."""
