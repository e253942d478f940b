"""Plans jobs, buys each prediction once and follows it; never buys without a written intent."""
