package provider

// The kinds. Each implements what controller needs.
var (
	_ kind[AddressArgs, AddressState]           = address{}
	_ kind[NatGatewayArgs, NatGatewayState]     = natGateway{}
	_ kind[NetworkArgs, NetworkState]           = network{}
	_ kind[NodeArgs, NodeState]                 = node{}
	_ kind[NodeLocalDNSArgs, NodeLocalDNSState] = nodeLocalDNS{}
	_ kind[PartnerArgs, PartnerState]           = partner{}
	_ kind[PodArgs, PodState]                   = pod{}
	_ kind[ProxyArgs, ProxyState]               = proxy{}
	_ kind[RoutesArgs, RoutesState]             = routesKind{}
	_ kind[SerialArgs, SerialState]             = serial{}
	_ kind[UpstreamDNSArgs, UpstreamDNSState]   = upstreamDNS{}
)
