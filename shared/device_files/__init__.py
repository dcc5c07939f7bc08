"""Device files: what a line may say, and whether a file may be given to a hub. No I/O."""
