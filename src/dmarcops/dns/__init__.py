"""DNS: who writes it, one provider a file, and how it is asked."""
