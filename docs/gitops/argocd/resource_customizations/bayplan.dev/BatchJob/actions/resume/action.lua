-- A time that has passed ends a pause.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["bayplan.dev/paused-until"] = "2000-01-01T00:00:00Z"
return obj
