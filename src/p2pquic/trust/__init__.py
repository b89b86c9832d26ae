"""Who is who from one run to the next: keys of servers, of peers, and our own, on disk."""
