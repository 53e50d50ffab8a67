"""Who acts: the records of topic `ha.log`, and the fold over them, the same on every node."""
