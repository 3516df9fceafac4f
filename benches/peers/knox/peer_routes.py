"""One view: the user of a token."""

from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView


class User(APIView):
    def get(self, request):
        user = request.user
        return Response({"id": user.id, "name": user.username, "email": user.email})


urlpatterns = [path("user", User.as_view())]
