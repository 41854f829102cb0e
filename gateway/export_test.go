package gateway

// FullBacklogs counts the webhooks that are known to have too many deliveries pending.
func (g *Gateway) FullBacklogs() int { return int(g.operations.flagged.Load()) }
