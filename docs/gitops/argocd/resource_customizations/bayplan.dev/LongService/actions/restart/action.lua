-- A new value replaces the instances, one after the other, as an update does.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["bayplan.dev/restarted-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
