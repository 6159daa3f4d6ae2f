package capacity

// Limits of Cloud NAT.
const (
	// PortsPerNatIP are the source ports of one Cloud NAT IP for TCP: 1024 to 65535.
	// Cloud NAT documentation, "Addresses and ports", as quoted in 2026-07.
	PortsPerNatIP = 64512
	// MinPortsPerVM is the smallest block this program gives a VM: the default of static allocation.
	// Cloud NAT documentation; pulumi-gcp v7.38.0 RouterNat.minPortsPerVm.
	MinPortsPerVM = 64
	// MinPortsPerVMAliased is the smallest block of a VM whose alias ranges are translated.
	// Cloud NAT troubleshooting page, 2026-04-08.
	MinPortsPerVMAliased = 1024
	// MaxPortsPerVM is the largest block of a VM.
	// pulumi-gcp v7.38.0 RouterNat.maxPortsPerVm.
	MaxPortsPerVM = 65536
	// MaxIPsPerCloudNat is the number of manual IPs of one Cloud NAT gateway.
	// cloud.google.com/nat/quota, 2026 (older copies say 50).
	MaxIPsPerCloudNat = 300
)

// Limits of the AWS NAT gateway.
const (
	// PortsPerGatewayIP are the simultaneous connections of one IP to one destination (address, port, protocol).
	// Amazon VPC user guide, "NAT gateway basics", 2023-06-15.
	PortsPerGatewayIP = 55000
	// RatePerGatewayIP are the new connections per second of one IP to one destination that are planned with: 55,000 a
	// minute. AWS removed the figure from its guide on 2023-04-06 and gives no other, so it is a planning value.
	RatePerGatewayIP = 900
	// MaxIPsPerGateway are one primary and seven secondary IPs.
	// Amazon VPC user guide, "NAT gateways", 2023-06-15.
	MaxIPsPerGateway = 8
	// QuotaIPsPerGateway is the service quota that limits the IPs of a public NAT gateway to 2 unless raised.
	// "Amazon VPC quotas", 2026-09-26.
	QuotaIPsPerGateway = "L-5F53652F"
)

// Limits of a proxy.
const (
	// PortsPerProxyIP is the ephemeral port range of a proxy, widened to 1024-65535, for each source IP and destination
	// address. Linux Documentation/networking/ip-sysctl, ip_local_port_range.
	PortsPerProxyIP = 64512
	// ProxyTimeWait is how many seconds Linux keeps the port of a connection that it closed first. The other side may close
	// first, which frees the port at once; planning assumes the worse. Linux include/net/tcp.h, TCP_TIMEWAIT_LEN.
	ProxyTimeWait = 60
)

// List prices in USD, without tax, discounts and the charge per GB.
const (
	// HoursPerMonth is what both clouds multiply hourly prices by: 365 x 24 / 12.
	HoursPerMonth = 730
	// gatewayHour is one AWS NAT gateway in us-east-1. Amazon VPC pricing, secondary sources, 2026.
	gatewayHour = 0.045
	// gatewayGB is one GB through an AWS NAT gateway in us-east-1. Amazon VPC pricing, secondary sources, 2026.
	gatewayGB = 0.045
	// cloudNatVMHour is Cloud NAT for one VM, up to cloudNatVMs of them. cloud.google.com/nat/pricing, 2026.
	cloudNatVMHour = 0.0014
	// cloudNatHour is Cloud NAT for more than cloudNatVMs. cloud.google.com/nat/pricing, 2026.
	cloudNatHour = 0.044
	// cloudNatVMs is where the price per VM ends. cloud.google.com/nat/pricing, 2026.
	cloudNatVMs = 32
	// cloudNatGB is one GiB through Cloud NAT, either direction. cloud.google.com/nat/pricing, 2026.
	cloudNatGB = 0.045
	// ipHour is one public IPv4 address in use: AWS since 2024-02-01 (AWS News Blog), and the same per Cloud NAT IP
	// (cloud.google.com/nat/pricing, 2026).
	ipHour = 0.005
)

// LegalPorts returns the ports per VM that a plan may choose from, ascending: powers of two from the minimum to 65,536. Cloud
// NAT takes other static numbers too, but how it rounds them is not documented.
func LegalPorts(aliasRanges bool) []int {
	smallest := MinPortsPerVM
	if aliasRanges {
		smallest = MinPortsPerVMAliased
	}
	var legal []int
	for ports := smallest; ports <= MaxPortsPerVM; ports *= 2 {
		legal = append(legal, ports)
	}
	return legal
}
