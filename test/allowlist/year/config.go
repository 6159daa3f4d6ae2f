package year

// Config is the stack on its first day: two zones, a NAT in each that both partners see, a fleet that one of them sees. The bank has
// two weeks to list an IP, the shop, which never answers, 30 days. Place is the part of the stack file that says where it is.
func Config(place string) string { return common + place }

const common = `# The life of one stack.
config:
  sallyport:cluster:
    zones: [eu-west-1a, eu-west-1b]
    nodes: 4
  sallyport:proxies: {sparePerZone: 0}
  sallyport:destinations:
    - {name: rates, hosts: [rates.example.net], partner: bank, demand: {connectionsPerSecond: 100}}
    - {name: orders, hosts: [orders.example.org], partner: shop, demand: {connectionsPerSecond: 5}}
    - {name: payments, hosts: [pay.example.com], route: proxy, partner: bank, demand: {connectionsPerSecond: 50}}
  # What partners were promised.
  sallyport:allowlist:
    reserve: 1 # one NAT, one proxy
    notice: {default: 14d, shop: 30d}
`
