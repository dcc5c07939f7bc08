// Types that several templates use.

@export()
@description('Tags of a resource, by name.')
type Tags = {
  *: string
}

@export()
@description('An Entra ID principal: its object id and its type.')
type Principal = {
  id: string
  type: 'User' | 'Group' | 'ServicePrincipal'
}

@export()
@description('App settings by name.')
type AppSettings = {
  *: string
}
