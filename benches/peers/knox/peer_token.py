"""Creates a user with an email and a password, and prints a token for the user."""

import sys

import django

django.setup()

from django.contrib.auth import get_user_model
from knox.models import AuthToken

user = get_user_model().objects.create_user("ada", *sys.argv[1:])
print(AuthToken.objects.create(user)[1])
