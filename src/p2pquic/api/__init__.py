"""What `import p2pquic` offers, over the sessions and the outside world below."""
